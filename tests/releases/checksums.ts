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
    "0003_tables": "ac09272d12ce164613a336441c28992497313ce4d66cbe507e4cd6c97e1261bf",
    "0004_views": "66830c907f167801c7da1490d6c7ae80ab523b4b2b6595a4713a8ff20a01e9e8",
    "0005_placing": "4d86b5afa70984710a9a2799dc0cfa298db6f3f75d2faa9b3e8c8ddeeabe9371",
    "0006_keys_and_slots": "8f800908c0183893ec44e013dae16e5e4e3a76c6d0e30506d80ea70d0db16805",
    "0007_limits": "f3a634b9b6b0a2c55571831b85e8808e0b0c8af7faf5b73e05f092e08ccdbd2f",
    "0008_schedule": "0ea74bb1dfde7ec0ee0e3a5ed99f1867defdcfe4dc526a7520b5d44c0f91aa32",
    "0009_operations": "fe232a494afff5c26910cfbe4de3dd7af91f20345e5b1590fe9e63714af1167a",
    "0010_cron": "f589d85eaacec8a67005911c1d2906bed1e017386f9cb0a293817834f360e78f",
    "0011_explain_parts": "f39d94a86c73ce38713f70ac629e257d1b473d30383aebf25b3582e814c81ca3",
    "0012_explain": "60c02020c4ffc9e71e6e2ec9a45b999cc0fb5390292a9a924f2923bf02ef7b3c",
  },
};
