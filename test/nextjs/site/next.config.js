// What differs between the versions under test comes from the environment of
// the build.
const major = Number(require('next/package.json').version.split('.')[0])

/** @type {import('next').NextConfig} */
module.exports = {
  basePath: process.env.TEST_BASE_PATH || '',
  distDir: process.env.TEST_DIST_DIR || '.next',
  eslint: major < 16 ? { ignoreDuringBuilds: true } : undefined,
  ...(major < 15
    ? { experimental: { instrumentationHook: true, serverComponentsExternalPackages: ['ms'] } }
    : { serverExternalPackages: ['ms'] }),
}
