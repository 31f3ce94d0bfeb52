package artifact

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config" // finds credentials and regions where every other program of AWS finds them
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/nightshift/nightshift/shared/fault"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/blob/s3blob"
)

// Forms is what NIGHTSHIFT_BLOB_URL looks like, for messages.
const Forms = "file:///var/lib/nightshift/blobs, or s3://bucket?region=eu-central-1, with &endpoint=https://host:port for a store other than AWS and &prefix=folder/ to share a bucket"

// Open opens NIGHTSHIFT_BLOB_URL. The caller closes the store.
//
//	file:///absolute/dir   a directory, made if it is missing
//	s3://bucket?region=…   a bucket, which must exist, of AWS or of a store that speaks S3:
//	    region=…           default: as the environment of AWS says
//	    endpoint=https://… another store than AWS; the bucket is then part of the path
//	    prefix=…           a folder of the bucket, which is then all that is read or written
//	mem://                 new, empty, in this process's memory, and gone with it
//
// Credentials of S3 come from where AWS's own programs take them: AWS_ACCESS_KEY_ID
// and AWS_SECRET_ACCESS_KEY, ~/.aws, or the role of the machine. Nothing is
// called yet: a bucket that cannot be reached shows at the first use. Any other
// URL is fault.Invalid.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Parse repeats the input, which may hold credentials.
		return nil, fault.New(fault.Invalid, "the blob URL cannot be read; it looks like %s", Forms)
	}
	switch u.Scheme {
	case fileblob.Scheme:
		return openDir(u)
	case s3blob.Scheme:
		return openS3(ctx, u)
	case memblob.Scheme:
		return &Store{memblob.OpenBucket(nil)}, nil
	default:
		return nil, fault.New(fault.Invalid, "the blob URL has the scheme %q; it looks like %s", u.Scheme, Forms)
	}
}

func openDir(u *url.URL) (*Store, error) {
	if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
		return nil, fault.New(fault.Invalid, "the blob URL must name an absolute directory and nothing else: three slashes, as in file:///var/lib/nightshift/blobs")
	}
	bucket, err := fileblob.OpenBucket(u.Path, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: 0o700, // code may hold secrets
		// Temporary files stand beside the final ones: a rename cannot cross
		// file systems, and the temporary directory often is another one.
		NoTempDir: true,
		Metadata:  fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the artifact directory %s cannot be used", u.Path)
	}
	return &Store{bucket}, nil
}

// anyRegion is what stores other than AWS are told where nothing else is said:
// most do not care, but a request is signed for one.
const anyRegion = "us-east-1"

func openS3(ctx context.Context, u *url.URL) (*Store, error) {
	q := u.Query()
	region, endpoint, prefix := q.Get("region"), q.Get("endpoint"), q.Get("prefix")
	for key, values := range q {
		if key != "region" && key != "endpoint" && key != "prefix" || len(values) != 1 {
			return nil, fault.New(fault.Invalid, "the blob URL says %q; once each, it may say region, endpoint and prefix: it looks like %s", key, Forms)
		}
	}
	switch e, err := url.Parse(endpoint); {
	case u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil:
		return nil, fault.New(fault.Invalid, "the blob URL must name a bucket and nothing behind it, as in s3://bucket?region=eu-central-1&prefix=folder/; credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)")
	case endpoint != "" && (err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == ""):
		return nil, fault.New(fault.Invalid, "the endpoint in the blob URL cannot be used; it looks like endpoint=https://host:9000")
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the settings of AWS (AWS_… variables and ~/.aws) cannot be read")
	}
	if cfg.Region == "" && (endpoint != "" || cfg.BaseEndpoint != nil) {
		cfg.Region = anyRegion
	}
	if cfg.Region == "" {
		return nil, fault.New(fault.Invalid, "the blob URL names no region, and AWS_REGION is not set; it looks like s3://%s?region=eu-central-1", u.Host)
	}
	// Checksums beyond what a call requires are understood by AWS alone, and
	// every digest is compared by us.
	cfg.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	cfg.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
			o.UsePathStyle = true // a name for each bucket is more than most have
		}
	})
	bucket, err := s3blob.OpenBucket(ctx, client, u.Host, &s3blob.Options{RequestChecksumCalculation: cfg.RequestChecksumCalculation})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the bucket %s cannot be used", u.Host)
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		bucket = blob.PrefixedBucket(bucket, prefix+"/")
	}
	return &Store{bucket}, nil
}
