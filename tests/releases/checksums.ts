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
    "0003_tables": "442dda23704fa8dfa214e9ba013d6f894a81325c45bf2f14a782e03cfd306df7",
    "0004_views": "844ba4e808f2c48291a2b9c8939c1a452de093ff127aadbe0e0afdaaeb825788",
    "0005_placing": "52603878cdbbf8d697ebabc100134e3983e7882b33d8810c4d3903da78c0b87b",
    "0006_keys_and_slots": "08c149870f123a4ce3a158724cf72555fd97c2c524e2a5261fdf6e0e98855812",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "29ac54c1575f7b6e70dd065221cd26ec0c771380d0997a90264fd4d1b6479242",
    "0009_operations": "131803d73c49fe8686103d1065ef09d3a72500eb1a101fff137b5924d05dc469",
    "0010_cron": "2d4973289069d1857a4db203d339b2c4777f960ad601770f6499d2d302bab946",
    "0011_explain_parts": "bd410d38a78945c94f814b7ae87ffef9126b3b45a495c7ad19b08b2a3917f375",
    "0012_explain": "2d36b05e612c2489dfdfd7dc6bb71b6284e0e84e0cc9df7b411f3cf4d1eef196",
    "0013_statistics": "e15516e20777447659af0d0315864d283c7653c822b57e86626037aae8b47945",
    "0014_alerts": "471641761a5ee0261fb958e608cb8b51501aa874c8758b3326ab83e697815ab6",
    "0015_log": "dcd7a949976bd18999898d9ef3b8821655aeabfaebd3711823dde55e16e75aae",
    "0016_import": "88169f1fef3a38b1874d78b0a3a9224e59f7c73e523aee30db65a6c981033d98",
    "0017_dependencies": "3f27eb4acb23b14956a1f7db2edb1fc6b02a3e252d8d017424f40df345af4178",
    "0018_steps": "3fc710204d39f315832c78baf5e623786e8de539d96f5387db9b541b6106a7ef",
  },
};
