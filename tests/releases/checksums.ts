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
    "0003_tables": "d25cd8b48a450b935a6128ba5d9ad8c196f1506d7cc79ad1913fb1386a4db8f6",
    "0004_views": "1016dfeb965c5f210814131b160dc4d1c7627f562cf43261749ff6e40c103695",
    "0005_placing": "d218fcb51c3430367c0fa85c6cad8ba9fd1e0d83c1bd7c9f2ba4b3b57affce76",
    "0006_keys_and_slots": "ec4aeae9dfc684d6ade1446ece1005afa085d4effb36769e57a2f95c6a836da8",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "15fe664e2f129028a11b002c8033f18bf98e380c0954d3761b8255340ae406c9",
    "0009_operations": "fb5423e029aac9f0d60690d1d3cd13e542679de3de20867d050c837290119834",
    "0010_cron": "2ba002b2d9796a78243f3b529feab13d46a56c5ae7b4a2911e2f27ad3ab6ac36",
    "0011_explain_parts": "e233877efa0d994a658884262f8ccd0fa767af8faabb7a9c3e88b38985f95aa0",
    "0012_explain": "ed71f5324f7bf348ee083c86315e60222449a86f6f6c569f0d89d6d0eb36c73e",
  },
};
