import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The built page lies in the Python package, so that the server needs no Node.js. */
export default defineConfig({
  plugins: [react()],
  build: {
    outDir: process.env.HEADWAY_PAGE_FOLDER ?? "../headway/server/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [{ name: "libraries", test: /node_modules\/(react|react-dom|scheduler|@mui|@emotion|@tanstack)\// }],
        },
      },
    },
  },
  server: { proxy: { "/api": process.env.HEADWAY_SERVER_URL ?? "http://127.0.0.1:8000" } },
});
