// Runs LiveKit's own end-to-end worker, unmodified, under Node. One JSON request a line on stdin, one answer a line on
// stdout. Node lacks what a browser's dedicated worker has around it; the few names that the worker touches are given
// here, and nothing else is changed.
import { createInterface } from 'node:readline';

const waiting = new Map(); // kind of the worker's message -> resolvers
const streams = new Map(); // "encode track" -> controller that feeds the worker's transform

globalThis.self = globalThis;
globalThis.onmessage = null;
globalThis.postMessage = (message) => waiting.get(message.kind)?.shift()?.(message);

class EncodedFrame {
  constructor({ data, timestamp, ssrc }) {
    this.data = Uint8Array.from(Buffer.from(data, 'hex')).buffer;
    this.timestamp = timestamp;
    this.metadata = ssrc === null ? {} : { synchronizationSource: ssrc };
  }

  getMetadata() {
    return this.metadata;
  }
}

globalThis.RTCEncodedAudioFrame = class extends EncodedFrame {};
globalThis.RTCEncodedVideoFrame = class extends EncodedFrame {
  constructor(request) {
    super(request);
    this.type = request.type;
  }
};

// A dropped frame leaves no trace behind a transform, so its end is told from inside.
const NativeTransformStream = globalThis.TransformStream;
globalThis.TransformStream = class extends NativeTransformStream {
  constructor({ transform }) {
    super({
      async transform(frame, controller) {
        let passed = null;
        const enqueue = (chunk) => {
          passed = chunk;
          controller.enqueue(chunk);
        };
        try {
          await transform(frame, { enqueue });
        } catch (error) {
          frame.answer({ error: String(error) });
          throw error;
        }
        frame.answer({ data: passed === null ? null : Buffer.from(passed.data).toString('hex') });
      },
    });
  }
};

await import('livekit-client/e2ee-worker');

const tell = (kind, data) => globalThis.onmessage({ data: { kind, data } });
const heard = (kind) =>
  new Promise((resolve) => waiting.set(kind, [...(waiting.get(kind) ?? []), resolve]));

// The worker takes its messages in order, so its answer to this one says that those before it are done.
async function settle(identity) {
  const done = heard('enable');
  tell('enable', { participantIdentity: identity, enabled: true });
  await done;
  return {};
}

const importKey = (bytes, family) => crypto.subtle.importKey('raw', bytes, family, false, ['deriveBits', 'deriveKey']);

const operations = {
  async init({ options }) {
    const done = heard('initAck');
    tell('init', { keyProviderOptions: options, loglevel: 'silent' });
    await done;
    return {};
  },

  async key({ identity, passphrase, raw, index }) {
    const key =
      passphrase === undefined
        ? await importKey(Buffer.from(raw, 'hex'), 'HKDF')
        : await importKey(Buffer.from(passphrase, 'utf8'), 'PBKDF2');
    tell('setKey', { participantIdentity: identity, isPublisher: true, key, keyIndex: index, updateCurrentKeyIndex: true });
    return settle(identity);
  },

  async ratchet({ identity, index }) {
    const done = heard('ratchetKey');
    tell('ratchetRequest', { participantIdentity: identity, keyIndex: index });
    const { data } = await done;
    return { material: Buffer.from(data.ratchetResult.chainKey).toString('hex') };
  },

  async transform({ direction, identity, track, codec }) {
    const readableStream = new ReadableStream({
      start: (controller) => streams.set(`${direction} ${track}`, controller),
    });
    tell(direction, {
      participantIdentity: identity,
      readableStream,
      writableStream: new WritableStream(),
      trackId: `${direction} ${track}`,
      codec: codec ?? undefined,
      hasPacketTrailer: false,
    });
    return settle(identity);
  },

  frame({ direction, track, ...request }) {
    const frame = request.type === null ? new RTCEncodedAudioFrame(request) : new RTCEncodedVideoFrame(request);
    return new Promise((resolve) => {
      frame.answer = resolve;
      streams.get(`${direction} ${track}`).enqueue(frame);
    });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, ...request } = JSON.parse(line);
  let answer;
  try {
    answer = await operations[operation](request);
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
