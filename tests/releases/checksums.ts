/**
 * The checksums of the migrations, by the release that brought them. Databases store them, and refuse a release in which
 * one has changed. Until 0.1.0 is tagged, its entries follow `migrations/`. From then on this file only grows: a later
 * release appends an entry with its own migrations, and nothing above it ever changes.
 *
 * @module
 */
export const CHECKSUMS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "0.1.0": {
    "0001_wire": "75739ac712f9e04f66a46f11a28a50bd752a0408972df0158407e48457c7f0e3",
    "0002_wire_decode": "d61a06f625eaf9f9e4bf529b79458c7220ea5632778322a76be336211af28872",
    "0003_tables": "d6463ddcb630dd0669f139441ff66043d6f849bcddbe8b7c12700fe2fbd65a8d",
    "0004_views": "4c1d6ce32afe905e62cf2159314a99c88d1df08c7e3cf5edad84de15f12f6b4e",
    "0005_placing": "d218fcb51c3430367c0fa85c6cad8ba9fd1e0d83c1bd7c9f2ba4b3b57affce76",
    "0006_keys_and_slots": "5a1340c6414b9bf841b417dc8556b7da96e0ec2c25fc13a4dcd1e3331fb26f28",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "00e31f338e700c8f17e94221a61e3092d574b807a3ee1b9ee2b7aca5c41c34c6",
    "0009_operations": "70df135f9d617bd7de0758a02f4356421115a86cd4e818b4b037cc2a4a9e3b97",
    "0010_cron": "f589d85eaacec8a67005911c1d2906bed1e017386f9cb0a293817834f360e78f",
    "0011_explain_parts": "e233877efa0d994a658884262f8ccd0fa767af8faabb7a9c3e88b38985f95aa0",
    "0012_explain": "ed71f5324f7bf348ee083c86315e60222449a86f6f6c569f0d89d6d0eb36c73e",
  },
};
