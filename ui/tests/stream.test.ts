import { expect, test, vi } from "vitest";
import { FrameReader, follow } from "../src/api/stream";

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

test("a stream that falls silent counts as lost and continues behind its last frame", async () => {
  vi.useFakeTimers();
  const ending = new AbortController();
  const asked: (string | null)[] = [];
  const fetched = vi.fn(async (_: string, init: RequestInit) => {
    asked.push(new Headers(init.headers).get("Last-Event-ID"));
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode('id: a\ndata: {"kind":"event"}\n\n')),
    });
    return new Response(body);
  });
  vi.stubGlobal("fetch", fetched);
  const onLost = vi.fn();
  void follow("/events", { cursor: null }, { onFrames: () => undefined, onOpen: () => undefined, onLost }, ending.signal);
  await vi.advanceTimersByTimeAsync(39_000);
  expect(onLost).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(onLost).toHaveBeenCalledOnce();
  expect(asked).toEqual([null, "a"]);
  ending.abort();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});
