import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { fixture } from "./fixture/plugin.ts";

/** What the page asks the aggregator for, while Vite serves the page itself. */
const API = [
  "/events",
  "/metrics",
  "/analytics",
  "/stream",
  "/usage",
  "/session",
  "/sign-in",
  "/admin",
  "/docs",
  "/openapi.json",
];

export default defineConfig(({ mode }) => {
  const target = process.env.EVP_AGGREGATOR_URL ?? "http://127.0.0.1:8090";
  return {
    plugins: [react(), mode === "fixture" ? fixture() : []],
    build: {
      target: "es2023",
      manifest: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
    server: {
      host: "127.0.0.1",
      proxy:
        mode === "fixture"
          ? {}
          : Object.fromEntries(
              API.map((path) => [
                path,
                { target, changeOrigin: true, headers: { origin: target } },
              ]),
            ),
    },
  };
});
