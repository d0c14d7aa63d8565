import { expect, test } from "vitest";
import { FrameReader } from "../src/api/stream";

test("frames are whole however their text arrives", () => {
  const text = ': connected\n\nid: a\ndata: {"kind":"event"}\n\nid: b\ndata: {"kind":"end"}\n\n';
  const whole = [
    { id: "a", data: { kind: "event" } },
    { id: "b", data: { kind: "end" } },
  ];
  for (let cut = 0; cut <= text.length; cut += 1) {
    const reader = new FrameReader();
    expect([...reader.read(text.slice(0, cut)), ...reader.read(text.slice(cut))]).toEqual(whole);
  }
});
