// SPDX-License-Identifier: GPL-3.0-or-later
// Unpacks the Chromium of the npm package, with the libraries and the font it needs, into the folder given.
// The package itself would unpack to the temporary folder, and leave out the libraries anywhere but on Lambda.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const require = createRequire(import.meta.url);
const packed = join(dirname(require.resolve("@sparticuz/chromium")), "..", "..", "bin");
const target = process.argv[2];
const { extract } = require("tar-fs");
const owner = { chown: false };

await mkdir(target, { recursive: true });
const unpack = (name, end) => pipeline(createReadStream(join(packed, name)), createBrotliDecompress(), end);
await Promise.all([
  unpack("swiftshader.tar.br", extract(target, owner)),
  unpack("al2023.tar.br", extract(target, owner)),
  unpack("fonts.tar.br", extract(join(target, "fonts"), owner)),
]);
// The package's own list of font folders names those of Lambda.
await writeFile(
  join(target, "fonts", "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="relative">cache</cachedir></fontconfig>
`,
);
// Last of all, and whole or not at all: whoever finds the executable finds the rest as well.
await unpack("chromium.br", createWriteStream(join(target, "chromium.part"), { mode: 0o755 }));
await rename(join(target, "chromium.part"), join(target, "chromium"));
