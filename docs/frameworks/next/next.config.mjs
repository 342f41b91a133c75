/** @type {import("next").NextConfig} */
export default {
  serverExternalPackages: ["@firefly/tasks"], // Node loads it once, from node_modules
  skipTrailingSlashRedirect: true, // the dashboard begins at /firefly/
};
