// From a video's current frame to a small canvas.
//
// Chromium without a GPU never gives back what `drawImage(video)` takes, 3.7 MB for each 720p frame. There frames lie in
// main memory, and their planes are read instead; that needs WebCodecs, so a page by https or from this machine.

const NARROW = 320;
const WIDE = 640;
const TO_RGB = { bt709: [1.5748, -0.1873, -0.4681, 1.8556], other: [1.402, -0.3441, -0.7141, 1.772] };

// Uses its canvas and its memory again for each frame.
export class Frames {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.bytes = new Uint8Array();
  }

  // `width`: of the picture, in pixels of the screen. Throws where a frame may not be read (another origin), or not cheaply.
  async canvasOf(video, width) {
    const { canvas, context } = this;
    const wide = Math.min(video.videoWidth, WIDE, Math.max(NARROW, width));
    const high = Math.max(1, Math.round((wide * video.videoHeight) / video.videoWidth));
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    if (this.image?.width !== wide || this.image?.height !== high) this.image = new ImageData(wide, high);
    const planes = await this.planesOf(video);
    if (planes) context.putImageData(scaled(planes, this.image), 0, 0);
    else if (hasGpu()) context.drawImage(video, 0, 0, wide, high);
    else throw new Error("frames are dear here");
    return canvas;
  }

  async planesOf(video) {
    if (typeof VideoFrame === "undefined") return null;
    const frame = new VideoFrame(video);
    try {
      if (!["I420", "NV12"].includes(frame.format)) return null;
      const size = frame.allocationSize();
      if (this.bytes.length < size) this.bytes = new Uint8Array(size);
      const layout = await frame.copyTo(this.bytes);
      const { width, height } = frame.visibleRect;
      const step = frame.format === "NV12" ? 2 : 1;
      const chroma = step === 2 ? [layout[1], { ...layout[1], offset: layout[1].offset + 1 }] : [layout[1], layout[2]];
      const { fullRange, matrix } = frame.colorSpace;
      return { bytes: this.bytes, width, height, step, planes: [layout[0], ...chroma], isFull: fullRange, matrix };
    } finally {
      frame.close();
    }
  }
}

let gpu;
function hasGpu() {
  gpu ??= document.createElement("canvas").getContext("webgl", { failIfMajorPerformanceCaveat: true }) !== null;
  return gpu;
}

function scaled({ bytes, width, height, step, planes, isFull, matrix }, image) {
  const [luma, blue, red] = planes;
  const [vToRed, uToGreen, vToGreen, uToBlue] = TO_RGB[matrix] || TO_RGB.other;
  const [black, brightness, colour] = isFull ? [0, 1, 1] : [16, 255 / 219, 255 / 224];
  const { width: toWidth, height: toHeight } = image;
  let at = 0;
  for (let row = 0; row < toHeight; row += 1) {
    const y = Math.floor(((row + 0.5) * height) / toHeight);
    for (let column = 0; column < toWidth; column += 1, at += 4) {
      const x = Math.floor(((column + 0.5) * width) / toWidth);
      const near = luma.offset + y * luma.stride + x;
      // Four neighbours: thin lines stay.
      const right = x + 1 < width ? 1 : 0;
      const below = y + 1 < height ? luma.stride : 0;
      const light = ((bytes[near] + bytes[near + right] + bytes[near + below] + bytes[near + below + right]) / 4 - black) * brightness;
      const place = (y >> 1) * blue.stride + (x >> 1) * step;
      const u = (bytes[blue.offset + place] - 128) * colour;
      const v = (bytes[red.offset + place] - 128) * colour;
      image.data[at] = light + vToRed * v;
      image.data[at + 1] = light + uToGreen * u + vToGreen * v;
      image.data[at + 2] = light + uToBlue * u;
      image.data[at + 3] = 255;
    }
  }
  return image;
}
