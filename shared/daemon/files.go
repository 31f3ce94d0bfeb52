package daemon

import (
	"io"
	"os"
	"strings"

	"github.com/nightshift/nightshift/shared/fault"
)

const (
	// fileSuffix makes the name of a setting that of the file which has its value.
	fileSuffix = "_FILE"
	// maxFile bounds such a file, in bytes.
	maxFile = 64 << 10
)

// environment is the process's environment, in which settings that are given as
// files have the files' contents: NIGHTSHIFT_TOKEN_FILE=/run/secrets/token
// gives NIGHTSHIFT_TOKEN. That is how container platforms hand out secrets: a
// file is shown by no inspection of the container and inherited by no child. A
// setting that is there itself, and not empty, goes before its file.
func environment(environ []string) (map[string]string, error) {
	settings := make(map[string]string, len(environ))
	for _, entry := range environ {
		key, value, _ := strings.Cut(entry, "=")
		settings[key] = value
	}
	for key, path := range settings {
		name, isFile := strings.CutSuffix(key, fileSuffix)
		if !isFile || !strings.HasPrefix(key, EnvPrefix) || path == "" || settings[name] != "" {
			continue
		}
		value, err := readSetting(path)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "reading the file of %s: %v", key, err)
		}
		settings[name] = value
	}
	return settings, nil
}

// readSetting reads a value without the line end that editors and echo leave.
func readSetting(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > maxFile:
		return "", fault.New(fault.Invalid, "%s is longer than %d bytes, which no setting is", path, maxFile)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
