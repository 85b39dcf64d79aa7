// Types for `tsc --checkJs` alone; never served.
export { h, render, Component, createContext } from "preact";
export * from "preact/hooks";
/** A tree of elements; the attributes are the components' own business. */
export const html: (strings: TemplateStringsArray, ...values: any[]) => any;
