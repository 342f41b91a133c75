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
    "0003_tables": "3314ffc21425ac24584b2938339cdd35fdbb095ffdffdf848d5c7bf19fb09dd1",
    "0004_views": "3284e4fd0c087e8130b7933c4689e1e07a41b9bc73999d242d304e68058f2129",
    "0005_placing": "1cfae8061c4da578480e1f41d7b8cb7273e0dc71381e114559b99712e15cef0a",
    "0006_keys_and_slots": "8f800908c0183893ec44e013dae16e5e4e3a76c6d0e30506d80ea70d0db16805",
    "0007_limits": "0b0a000c7532ec8f71e63fb094cc774ec491420b33eaa828ab774fd8b0a15146",
    "0008_schedule": "a20605007a2b442f644809c2062c371c1203aae17d6a3afc14c344c0ae2c9f32",
    "0009_operations": "732acfa4d83ae8b74087e53532b113b961f5d4af07fa58ff6f115017405bf071",
    "0010_cron": "2ba002b2d9796a78243f3b529feab13d46a56c5ae7b4a2911e2f27ad3ab6ac36",
    "0011_explain_parts": "f616f75b89e410de968a4822460a940808240d57a6b0af901184e3b007d4f958",
    "0012_explain": "d55931ba758a2686bc4c20944cf785ea134f045cd029ce4e6f95c55f241b9d49",
  },
};
