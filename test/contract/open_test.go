package contract

// openCases differ and should not: what is missing, by case. A case that passes
// fails the test until it is taken out.
var openCases = map[string]string{
	"v1-returns-status-nan":              "JSON loses NaN before it is checked",
	"v1-returns-headers-undefined-value": "JSON loses undefined before it is checked",
}
