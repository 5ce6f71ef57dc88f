/**
 * The public keys of the secret keys 1, 2, 3, …: the nodes of simulated worlds have these, so that the order of their names,
 * and with it every run, is the same with the real curve and without it.
 */
export const publicKeys: readonly string[] = [
  "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
  "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
  "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
  "02e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
  "022f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
  "03fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556",
  "025cbdf0646e5db4eaa398f365f2ea7a0e3d419b7e0330e39ce92bddedcac4f9bc",
  "022f01e5e15cca351daff3843fb70f3c2f0a1bdd05e5af888a67784ef3e10a2a01",
  "03acd484e2f0c7f65309ad178a9f559abde09796974c57e714c35f110dfc27ccbe",
  "03a0434d9e47f3c86235477c7b1ae6ae5d3442d49b1943c2b752a68e2a47e247c7",
  "03774ae7f858a9411e5ef4246b70c65aac5649980be5c17891bbec17895da008cb",
  "03d01115d548e7561b15c38f004d734633687cf4419620095bc5b0f47070afe85a",
  "03f28773c2d975288bc7d1d205c3748651b075fbc6610e58cddeeddf8f19405aa8",
  "03499fdf9e895e719cfd64e67f07d38e3226aa7b63678949e6e49b241a60e823e4",
  "02d7924d4f7d43ea965a465ae3095ff41131e5946f3c85f79e44adbcf8e27e080e",
  "03e60fce93b59e9ec53011aabc21c23e97b2a31369b87a5ae9c44ee89e2a6dec0a",
];

/** 64 hex digits. */
export function secretKeyOf(index: number): string {
  return (index + 1).toString(16).padStart(64, "0");
}
