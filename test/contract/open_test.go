package contract

import "strings"

// openCases differ and should not: what is missing, by case. A case that passes
// fails the test until it is taken out.
var openCases = reasons(map[string]string{
	"static files are not served yet": `
		bg-isc-default bg-isc-default-get bg-path-default-url bg-path-method double-slash excluded-literal excluded-pattern excluded-suffix
		methods-head methods-post no-name no-name-slash no-route-post path-string-default-url pattern-choice-none pattern-digits-none
		pattern-dot-any pattern-pair-none pattern-plus-none pattern-suffix-none pattern-unicode-literal prefer-static prefer-static-deep
		prefer-static-folder prefer-static-head prefer-static-post static-case static-css static-delete static-dots static-dots-encoded
		static-encoded static-file static-file-query static-folder-index static-folder-slash static-folder-without-index static-head static-hidden
		static-index static-js static-json static-missing static-missing-deep static-missing-file static-missing-head static-missing-html
		static-missing-post static-netlify-prefix static-options static-png static-post static-pretty static-pretty-slash static-put static-range
		static-root static-root-query static-space static-svg static-toml v2-context-rewrite v2-context-rewrite-return v2-context-rewrite-url
		v2-method-bad v2-method-bad-put v2-method-head v2-object-method v2-path-default-url v2-path-default-url-post v2-path-excluded
		v2-path-excluded-case v2-path-excluded-slash v2-path-lit-longer v2-path-none v2-path-wild-empty v2-path-wild-none v2-tsjson-default-url`,
	"JSON loses the value before it is checked": `
		v1-returns-headers-undefined-value v1-returns-status-nan`,
	"esbuild cannot put a top-level await into CommonJS": `
		v1-import-await`,
})

// reasons spreads lists of cases by reason to a reason by case.
func reasons(lists map[string]string) map[string]string {
	out := map[string]string{}
	for reason, list := range lists {
		for _, name := range strings.Fields(list) {
			out[name] = reason
		}
	}
	return out
}
