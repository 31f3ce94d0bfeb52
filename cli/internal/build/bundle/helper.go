package bundle

import "github.com/evanw/esbuild/pkg/api"

// helperSource stands in for @netlify/functions where the site has not
// installed it. At run time its helpers do next to nothing: the schedule is
// read from the source at build time.
const helperSource = `
import { pipeline } from "node:stream/promises";

export const SYNCHRONOUS_FUNCTION_TIMEOUT = 30;
export const BACKGROUND_FUNCTION_TIMEOUT = 900;
export const schedule = (cron, handler) => handler;

export const stream = (handler) =>
  awslambda.streamifyResponse(async (event, response, context) => {
    const { body, ...head } = await handler(event, context);
    const out = awslambda.HttpResponseStream.from(response, head);
    if (body === undefined || typeof body === "string") out.end(body);
    else await pipeline(body, out);
  });

const augmented = (response) =>
  response && { ...response, metadata: { version: 1, builder_function: true, ttl: response.ttl || 0 } };
export const builder = (handler) => (event, context, callback) => {
  if (event.httpMethod !== "GET" && event.httpMethod !== "HEAD") {
    return Promise.resolve({ statusCode: 405, body: "Method Not Allowed" });
  }
  const bare = { ...event, multiValueQueryStringParameters: {}, queryStringParameters: {} };
  const result = handler(bare, context, (error, response) => callback?.(error, augmented(response)));
  return typeof result?.then === "function" ? result.then(augmented) : result;
};

export const getNetlifyGlobal = () => globalThis.Netlify;
export const getContext = () => {
  const context = globalThis.Netlify.context;
  if (!context) throw new Error("getContext() can only be called while a function handles a request");
  return context;
};
export const purgeCache = async () => {
  if (process.env.NETLIFY_LOCAL) return console.log("Skipping purgeCache in local development.");
  throw new Error("purgeCache needs Netlify's CDN; there is no cache to purge here");
};
`

// asking marks a resolution that the plugin itself asked for.
type asking struct{}

// helperPackage resolves @netlify/functions to the installed package or, if
// there is none, to helperSource.
func helperPackage(root string) api.Plugin {
	const name, namespace = "@netlify/functions", "nightshift"
	return api.Plugin{Name: "netlify-functions", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: `^@netlify/functions$`}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
			if _, ours := args.PluginData.(asking); ours {
				return api.OnResolveResult{}, nil
			}
			installed := build.Resolve(name, api.ResolveOptions{
				Importer: args.Importer, Namespace: args.Namespace, ResolveDir: args.ResolveDir, Kind: args.Kind, PluginData: asking{},
			})
			if len(installed.Errors) == 0 {
				return api.OnResolveResult{Path: installed.Path, Namespace: installed.Namespace, External: installed.External, SideEffects: sideEffects(installed.SideEffects)}, nil
			}
			return api.OnResolveResult{Path: name, Namespace: namespace}, nil
		})
		build.OnLoad(api.OnLoadOptions{Filter: `.*`, Namespace: namespace}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
			contents := helperSource
			return api.OnLoadResult{Contents: &contents, Loader: api.LoaderJS, ResolveDir: root}, nil
		})
	}}
}

func sideEffects(has bool) api.SideEffects {
	if has {
		return api.SideEffectsTrue
	}
	return api.SideEffectsFalse
}
