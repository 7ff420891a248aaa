using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Amazon.Runtime;
using Amazon.S3;
using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>The location of blobs in S3: <c>s3://bucket/prefix?endpoint=http://host:9000&amp;region=us-east-1</c>.</summary>
internal sealed partial record S3Location(string Bucket, string Prefix, Uri? Endpoint, string Region, bool PathStyle)
{
    private const string Scheme = "s3://";

    /// <summary>Parses an S3 location. Returns false for anything that does not start with <c>s3://</c>, such as a folder.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the S3 location is not valid.</exception>
    public static bool TryParse(string root, [NotNullWhen(true)] out S3Location? location)
    {
        location = null;
        if (!root.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) return false;
        string[] parts = root[Scheme.Length..].Split('?', 2);
        string[] path = parts[0].Split('/', 2);
        if (!BucketName().IsMatch(path[0]))
            throw QueueErrors.BadBlobLocation(root, "a bucket name has 3 to 63 lower-case letters, digits, `-` and `.`.");
        string prefix = path.Length > 1 ? path[1].Trim('/') : "";
        if (!PrefixName().IsMatch(prefix) || prefix.Split('/').Any(part => part is "." or ".."))
            throw QueueErrors.BadBlobLocation(root, "a prefix has only letters, digits and `-_./`.");
        (Uri? endpoint, string region, bool? pathStyle) = (null, "us-east-1", null);
        foreach (string entry in parts.Length > 1 ? parts[1].Split('&', StringSplitOptions.RemoveEmptyEntries) : [])
        {
            string[] pair = entry.Split('=', 2);
            string value = pair.Length > 1 ? Uri.UnescapeDataString(pair[1]) : "";
            switch (pair[0])
            {
                case "endpoint" when Uri.TryCreate(value, UriKind.Absolute, out Uri? uri)
                    && uri.Scheme is "http" or "https" && uri!.UserInfo.Length == 0:
                    endpoint = uri;
                    break;
                case "region" when RegionName().IsMatch(value):
                    region = value;
                    break;
                case "path-style" when bool.TryParse(value, out bool isPathStyle):
                    pathStyle = isPathStyle;
                    break;
                default:
                    throw QueueErrors.BadBlobLocation(
                        root.Split('?')[0],
                        $"`{pair[0]}` is unknown, or its value is not valid. Credentials must not be part of the location.");
            }
        }
        location = new S3Location(path[0], prefix.Length > 0 ? prefix + "/" : "", endpoint, region, pathStyle ?? endpoint is not null);
        return true;
    }

    /// <param name="credentials">Null for the default AWS credential chain.</param>
    public IAmazonS3 NewClient(AWSCredentials? credentials = null)
    {
        var config = new AmazonS3Config
        {
            AuthenticationRegion = Region,
            ForcePathStyle = PathStyle,
            MaxErrorRetry = 3,
            Timeout = TimeSpan.FromMinutes(5), // for one part
            // Blobs have their own checksums, and not every S3-compatible store supports those of AWS.
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        };
        config.SetWebProxy(EnvironmentProxy.Current);
        if (Endpoint is not null) config.ServiceURL = Endpoint.ToString();
        else config.RegionEndpoint = Amazon.RegionEndpoint.GetBySystemName(Region);
        return credentials is null ? new AmazonS3Client(config) : new AmazonS3Client(credentials, config);
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    private static partial Regex BucketName();

    [GeneratedRegex("^[A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*$")]
    private static partial Regex PrefixName();

    [GeneratedRegex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    private static partial Regex RegionName();
}
