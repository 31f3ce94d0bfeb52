package bundle

import "github.com/evanw/esbuild/pkg/api"

// helperSource stands in for @netlify/functions where the site has not
// installed it. At run time its helpers do next to nothing: the schedule is
// read from the source at build time.
const helperSource = `
export const schedule = (cron, handler) => handler;
export const stream = (handler) => handler;
export const builder = (handler) => async (event, context) => {
  if (event.httpMethod !== "GET" && event.httpMethod !== "HEAD") {
    return { statusCode: 405, body: "Method Not Allowed" };
  }
  const response = await handler({ ...event, multiValueQueryStringParameters: {}, queryStringParameters: {} }, context);
  return { ...response, metadata: { version: 1, builder_function: true, ttl: response?.ttl || 0 } };
};
export const getNetlifyGlobal = () => globalThis.Netlify;
export const purgeCache = async () => {
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
