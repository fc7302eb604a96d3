// Zip archive without compression, which hardly shrinks sounds (PKWARE's APPNOTE 6.3, without its options).

const UTF8 = 0x0800; // names are UTF-8
const DATE = 0x0021; // 1 January 1980, constant: the same sounds give the same archive

/** Blob of `[{name, file: Uint8Array}]`; repeated names get a number. */
export function zip(files) {
  const [local, central] = [[], []];
  let offset = 0;
  for (const { name, file } of numbered(files)) {
    const title = new TextEncoder().encode(name);
    const common = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, DATE], [4, crc32(file)], [4, file.length], [4, file.length], [2, title.length], [2, 0]];
    const header = record(0x04034b50, common);
    central.push(record(0x02014b50, [[2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), title);
    local.push(header, title, file);
    offset += header.length + title.length + file.length;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const count = files.length;
  const end = record(0x06054b50, [[2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]]);
  return new Blob([...local, ...central, end], { type: "application/zip" });
}

function numbered(files) {
  const seen = new Map();
  return files.map(({ name, file }) => {
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return { name: times > 1 ? name.replace(/(\.\w+)?$/, `-${times}$1`) : name, file };
  });
}

/** Record of a signature and `[bytes, value]` fields, little-endian. */
function record(signature, fields) {
  const all = [[4, signature], ...fields];
  return Uint8Array.from(all.flatMap(([bytes, value]) => Array.from({ length: bytes }, (_, i) => (value >>> (8 * i)) & 255)));
}

export function crc32(file) {
  let crc = ~0;
  for (const byte of file) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
