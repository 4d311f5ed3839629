# The exact version, so that the same commit runs on the same Node next year; raise it deliberately.
FROM node:24.21.0-bookworm-slim AS base
WORKDIR /app

# Without the sources, so that a change of code installs nothing anew. Our own scripts need the sources or the patches
# and are called by name; of the dependencies' install scripts none is needed for building or running.
FROM base AS dependencies
COPY package.json package-lock.json ./
COPY patches patches
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts && npm run postinstall

FROM dependencies AS production-dependencies
RUN npm prune --omit=dev --ignore-scripts

# The template speeds up the first start of an embedded database, which production refuses.
FROM dependencies AS build
COPY tsconfig.json ./
COPY src src
RUN npm run build && rm -r dist/embedded-template && chmod +x dist/cli.js

FROM base
# /app belongs to root: the service keeps nothing on disk in production and cannot change its own code.
ENV NODE_ENV=production
COPY --from=production-dependencies /app/node_modules node_modules
COPY package.json ./
COPY drizzle drizzle
COPY --from=build /app/dist dist
RUN ln -s /app/dist/cli.js /usr/local/bin/plinth
# The user node, as a number: Kubernetes' runAsNonRoot cannot tell from a name that it is not root.
USER 1000
EXPOSE 3000
STOPSIGNAL SIGTERM
# Liveness, not readiness: a database that is away is no reason to restart the service. The image has no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/cluster.js"]
