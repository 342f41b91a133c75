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
    "0003_tables": "999351d3c5e926e04c07e10f1c0a3d31ad9ad9aa90af791ad5bca1f3fd0ef7f0",
    "0004_views": "a25848b42d497729c3f67fb08f8f2929bb8cae52e8587da118da29bec6de5fea",
    "0005_placing": "d62d8843a006b97454fbf3a915ed9b2bb86db226dd9d5cf87f736c19e540b7b6",
    "0006_keys_and_slots": "ec4aeae9dfc684d6ade1446ece1005afa085d4effb36769e57a2f95c6a836da8",
    "0007_limits": "0b0a000c7532ec8f71e63fb094cc774ec491420b33eaa828ab774fd8b0a15146",
    "0008_schedule": "24124edf61ada19492f077ed1e7b130f44de49c8527673effcfb4e7919a37f39",
    "0009_operations": "a2109a9c8d98264fe99211f5f72ec432e010158f98deba5ffed0973e846e8ecd",
    "0010_cron": "f589d85eaacec8a67005911c1d2906bed1e017386f9cb0a293817834f360e78f",
    "0011_explain_parts": "eefad7ff04b2e3dfb892a2a65e186dd46e973173c067143cf105dd1a2c9987ce",
    "0012_explain": "b49a7dc7fb1fcb9d2c0cca356574191db6bc9df88374078d17e3e3a9c7a42d6e",
  },
};
