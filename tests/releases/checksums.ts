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
    "0002_wire_decode": "ac3ec7ddad9d2b6a18384ed7131d8011cbbf6a598b30ef9dfa4d8132dffbf7c1",
    "0003_tables": "800b4ed9459126b25a4fe11b2eaf138e487eb44dba3cdd9bedba962fd068a769",
    "0004_views": "ff07e30a797f75ce7cff644dffadb6f59956ab3ad2754261b002592b4f7a76d6",
    "0005_placing": "4bdca1b4f207f8d39dc0b28aa9fcbbd48087077053deb3e610dd9d03658b5d9d",
    "0006_keys_and_slots": "484413a6c7c561aff72c0831778960a793fbf42a41ef5c149ea7e4d8f6953c5c",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "b4578c6763d8aa4b822cdc84fd7f73c8375a17cd9172ffc44426dcba8821d24b",
    "0009_operations": "131803d73c49fe8686103d1065ef09d3a72500eb1a101fff137b5924d05dc469",
    "0010_cron": "14ebe8e99de8f0539eb79ceb8c6502e26263fa1eb3d8c9dce37708349c983a10",
    "0011_explain_parts": "bd410d38a78945c94f814b7ae87ffef9126b3b45a495c7ad19b08b2a3917f375",
    "0012_explain": "2d36b05e612c2489dfdfd7dc6bb71b6284e0e84e0cc9df7b411f3cf4d1eef196",
    "0013_statistics": "e15516e20777447659af0d0315864d283c7653c822b57e86626037aae8b47945",
    "0014_alerts": "471641761a5ee0261fb958e608cb8b51501aa874c8758b3326ab83e697815ab6",
    "0015_log": "0db9165d672bfc2ea432c82452f550522bf7984dd243652d2a80e53c2d8f6f5a",
    "0016_import": "88169f1fef3a38b1874d78b0a3a9224e59f7c73e523aee30db65a6c981033d98",
    "0017_steps": "3fc710204d39f315832c78baf5e623786e8de539d96f5387db9b541b6106a7ef",
  },
};
