// Makes one video with Vercel's AI SDK and prints what came of it, as JSON: generate.mjs URL KEY '{"model": …}'.
import { createAlibaba } from "@ai-sdk/alibaba";
import { experimental_generateVideo as generateVideo } from "ai";

const [url, apiKey, text] = process.argv.slice(2);
const { model, pollIntervalMs = 20, ...request } = JSON.parse(text);
const alibaba = createAlibaba({ apiKey, videoBaseURL: url });
const { alibaba: own, ...rest } = request.providerOptions ?? {};
try {
  const { video } = await generateVideo({
    model: alibaba.video(model),
    maxRetries: 0,
    // Only the sandbox is asked for the file, and only over loopback.
    download: async ({ url: place }) => {
      const answer = await fetch(place);
      return { data: new Uint8Array(await answer.arrayBuffer()), mediaType: answer.headers.get("content-type") };
    },
    ...request,
    providerOptions: { ...rest, alibaba: { pollIntervalMs, ...own } },
  });
  console.log(JSON.stringify({ mediaType: video.mediaType, base64: video.base64 }));
} catch (error) {
  console.log(JSON.stringify({ error: error.name, message: error.message }));
}
