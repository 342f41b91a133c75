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
    "0003_tables": "6df455b57af450abce1c86b8fd116a4d97eb7828e94a582d51145e0e648240f4",
    "0004_views": "a25848b42d497729c3f67fb08f8f2929bb8cae52e8587da118da29bec6de5fea",
    "0005_placing": "1cfae8061c4da578480e1f41d7b8cb7273e0dc71381e114559b99712e15cef0a",
    "0006_keys_and_slots": "8f800908c0183893ec44e013dae16e5e4e3a76c6d0e30506d80ea70d0db16805",
    "0007_limits": "0b0a000c7532ec8f71e63fb094cc774ec491420b33eaa828ab774fd8b0a15146",
    "0008_schedule": "d56648b6430fd473589c2b51f7c5f20c6399cfb17e5df029a86b706881a78d3d",
    "0009_operations": "2f71fdefc1be2f0e2442e7d9ee75dfc77a6d70478d5dc027822bc347a77d5bbb",
    "0010_cron": "f589d85eaacec8a67005911c1d2906bed1e017386f9cb0a293817834f360e78f",
    "0011_explain_parts": "f616f75b89e410de968a4822460a940808240d57a6b0af901184e3b007d4f958",
    "0012_explain": "d55931ba758a2686bc4c20944cf785ea134f045cd029ce4e6f95c55f241b9d49",
  },
};
