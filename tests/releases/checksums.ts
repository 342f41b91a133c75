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
    "0003_tables": "606f9fba30eb7b65a193921c1749eaa40f230dcbd68a456ee14fc0d66468ae8c",
    "0004_views": "bff843a7256120c8583e40e45c9a2ae58d72b59fe004d748270d745a16fbdfaf",
    "0005_placing": "e1d8ae7eab8cbd88b28495b52ce580d4d12f07fa39fffac699d32c3ca5c5d962",
    "0006_keys_and_slots": "0ff600d996c81d312a95b2136df662e10d726a5e40481d955e64be2c60512c28",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "fb445606635befd2aff6e3abc8486d1380a72964207d47619e2311b05478cdea",
    "0009_operations": "c2865f15b5866dadfc7bd9907e5918daa525e5a5433f4756711944249cc1152b",
    "0010_cron": "14ebe8e99de8f0539eb79ceb8c6502e26263fa1eb3d8c9dce37708349c983a10",
    "0011_explain_parts": "6f6080eff7335a704198f38802e226066f195b4a4ec01cd360a9dbb29b5b760d",
    "0012_explain": "aeaabbc0405aa09b1e852112754d899a5dac615dab8e0b5aa77fd93b86f14276",
  },
};
