using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Ndif.Tests.Support;

/// <summary>AWS Signature Version 4, checked as a server does: computed from the request that was received, and compared.</summary>
public static class SignatureV4
{
    private const string Algorithm = "AWS4-HMAC-SHA256";

    /// <summary>The error code that S3 returns for the request's signature; null if the signature is valid.</summary>
    public static string? GetErrorCode(HttpRequest request, byte[] body, string accessKey, string secret, string region)
    {
        string header = request.Headers.Authorization.ToString();
        if (!header.StartsWith(Algorithm + " ", StringComparison.Ordinal)) return "AccessDenied";
        Dictionary<string, string> parts = header[Algorithm.Length..].Split(',').Select(part => part.Trim().Split('=', 2))
            .ToDictionary(part => part[0], part => part[1]);
        string[] scope = parts["Credential"].Split('/');
        if (scope[0] != accessKey) return "InvalidAccessKeyId";
        string date = request.Headers["x-amz-date"].ToString();
        if (scope is not [_, var day, var where, "s3", "aws4_request"] || where != region
            || !date.StartsWith(day, StringComparison.Ordinal)) return "AuthorizationHeaderMalformed";
        if (Math.Abs(
            (DateTimeOffset.UtcNow
                - DateTimeOffset.ParseExact(date, "yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal))
                .TotalMinutes) > 15) return "RequestTimeTooSkewed";

        string[] signed = parts["SignedHeaders"].Split(';');
        if (!signed.Contains("host")
            || request.Headers.Keys.Any(name => name.StartsWith("x-amz-", StringComparison.OrdinalIgnoreCase)
                && !signed.Contains(name.ToLowerInvariant()))) return "AccessDenied";
        string payload = request.Headers["x-amz-content-sha256"].ToString();
        if (payload != Hash(body)) return "XAmzContentSHA256Mismatch"; // the signature must cover the body itself
        string target = request.HttpContext.Features.Get<IHttpRequestFeature>()!.RawTarget;
        string canonical = string.Join('\n',
        [
            request.Method, target.Split('?')[0], Query(target),
            .. signed.Select(name =>
                $"{name}:{string.Join(' ', request.Headers[name].ToString().Split(' ', StringSplitOptions.RemoveEmptyEntries))}"), "",
            parts["SignedHeaders"], payload,
        ]);
        string toSign = string.Join('\n', Algorithm, date, string.Join('/', scope[1..]), Hash(Encoding.UTF8.GetBytes(canonical)));
        byte[] key = scope[1..]
            .Aggregate(Encoding.UTF8.GetBytes("AWS4" + secret), (last, part) => HMACSHA256.HashData(last, Encoding.UTF8.GetBytes(part)));
        byte[] expected = HMACSHA256.HashData(key, Encoding.UTF8.GetBytes(toSign));
        return CryptographicOperations.FixedTimeEquals(expected, Convert.FromHexString(parts["Signature"])) ? null
            : "SignatureDoesNotMatch";
    }

    private static string Query(string target) => target.Split('?', 2) is not [_, var query] ? "" : string.Join('&', query.Split('&')
        .Select(pair => pair.Contains('=', StringComparison.Ordinal) ? pair : pair + "=").Order(StringComparer.Ordinal));

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
