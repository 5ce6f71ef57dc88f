const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/;
/** In front of the IPv4 address inside an IPv4-mapped IPv6 one. */
export const MAPPED_PREFIX = "::ffff:";

export type Family = 4 | 6;

/** Is it a dotted IPv4 address? */
export function isIPv4(host: string): boolean {
  return IPV4.test(host);
}

/** Is it an IPv6 address (RFC 4291 §2.2), with or without a zone? */
export function isIPv6(host: string): boolean {
  const zone = host.indexOf("%");
  if (zone === host.length - 1) return false;
  const address = zone < 0 ? host : host.slice(0, zone);
  const halves = address.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [index, half] of halves.entries()) {
    const parts = half === "" ? [] : half.split(":");
    if (half === "" && halves.length === 1) return false;
    for (const [at, part] of parts.entries()) {
      const isLast = index === halves.length - 1 && at === parts.length - 1;
      if (isLast && isIPv4(part)) groups += 2;
      else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups++;
      else return false;
    }
  }
  return halves.length === 2 ? groups <= 7 : groups === 8;
}

/** 4, 6, or 0 when it is no IP address. */
export function isIP(host: string): Family | 0 {
  if (isIPv4(host)) return 4;
  return isIPv6(host) ? 6 : 0;
}

/** The IPv4 address inside an IPv4-mapped IPv6 one, or the address itself. */
export function unmapIPv4(host: string): string {
  if (!host.startsWith(MAPPED_PREFIX)) return host;
  const inner = host.slice(MAPPED_PREFIX.length);
  return isIPv4(inner) ? inner : host;
}

/** How a dual-stack socket addresses an IPv4 host. */
export function mapIPv4(host: string): string {
  return MAPPED_PREFIX + host;
}
