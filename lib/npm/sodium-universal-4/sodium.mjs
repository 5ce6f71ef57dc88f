// Hypercore 10 asks for ^4, everything else for ^5. A link answers only the ranges that its version satisfies, so there
// are two folders of one name; both lead to one implementation and one WASM instance.
export { default, default as "module.exports" } from "sodium";
