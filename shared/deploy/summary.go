package deploy

// Summary is what there is to say of a deploy where many are listed: all of it but
// what may be thousands of lines, which are counted.
type Summary struct {
	Deploy        // without Files, Redirects and Headers
	Files     int `json:"file_count,omitempty"`
	Redirects int `json:"redirect_count,omitempty"`
	Headers   int `json:"header_count,omitempty"`
}

// Summarize makes a summary.
func Summarize(d Deploy) Summary {
	s := Summary{Deploy: d, Files: len(d.Files), Redirects: len(d.Redirects), Headers: len(d.Headers)}
	s.Deploy.Files, s.Deploy.Redirects, s.Deploy.Headers = nil, nil, nil
	return s
}
