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
    "0003_tables": "3a760592790c95039d8adab7713846fdc330816d5b275e720280c6e0e687849b",
    "0004_views": "9cd142fa86d7a3cc66a1e47e77d511374a4d411e7468f0519c39e85f609475cd",
    "0005_placing": "1a73dc86564cccb53f79f9184d4aa82d4bd7a8aeec4b5f9e7dbe1b11cea40c4e",
    "0006_keys_and_slots": "ce14b2e0b0d24d746df25287d0e0bf015578762dc6be35e769d5d24e820cb54f",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "edaf13d85e283236805fa330ef435788db4c88eb1e936f2987e06f07e0e61eee",
    "0009_operations": "cb8c29d2e3db22f632de21a83f9045ced8f5281e1f0903479cd10c19a21192fa",
    "0010_cron": "2d4973289069d1857a4db203d339b2c4777f960ad601770f6499d2d302bab946",
    "0011_explain_parts": "149f85f06618c6bb17ddeffa8fb095f2c007a9e0c371eaf61761e9ca79f31946",
    "0012_explain": "011908c0402eb83b50ddfaf7946b2df83c46e6322155de11d03f89d762fd5c89",
    "0013_statistics": "a21984d5702ed0aed5b719da733834e190ece3171d1de3bea188d528311deee4",
    "0014_alerts": "471641761a5ee0261fb958e608cb8b51501aa874c8758b3326ab83e697815ab6",
    "0015_log": "97e18be29333b9aee1d7a40d28ec041cb8aa89a89b9c7eaa6cca69f23b17b28b",
    "0016_import": "88169f1fef3a38b1874d78b0a3a9224e59f7c73e523aee30db65a6c981033d98",
    "0017_dependencies": "e1f6eb327d2bc807acbb91f668e684411a5c020a675d6e85b47392ccb2c1a3df",
    "0018_steps": "d155c67049b49bff922f50fedd6bc16ff84cedc79f4de4effd941d8f82a2c710",
    "0019_waits": "771cb21019164c1b97ae0e5254d0fe7d5c6d3aeb6e6b5506658aab9021d9eb1c",
    "0020_calls": "7aea245a3fc93ee5faf36d856e3812e660befd18630c46f3d5f6353310de02fe",
    "0021_fork": "abaee341c9226dd9eb799eec5e04c04ee763683a164152acfb34339308e14ef0",
    "0022_compensation": "a098e483a6d99df820bcf35f74241d59511371afe9e31d98171f7c10fc768281",
  },
};
