const net = require("node:net");

// dht-rpc asks the class itself what an address is, and constructs one only where it was given none (options.udx).
module.exports = class UDX {
  constructor() {
    throw new Error(
      "udx-native is not available: pass { udx: new UDX() } from lib/udx/mod.ts to HyperDHT",
    );
  }

  static isIPv4(host) {
    return net.isIPv4(host);
  }

  static isIPv6(host) {
    return net.isIPv6(host);
  }

  static isIP(host) {
    return net.isIP(host);
  }
};
