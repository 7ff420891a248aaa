using System.Net;

namespace Ndif.Workbench.Tests;

/// <summary>What another site's page, or another name of this machine, can reach: nothing.</summary>
public sealed class BrowserSecurityTests(WorkbenchService service)
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("http://evil.example", null, HttpStatusCode.Forbidden)]
    [InlineData("null", null, HttpStatusCode.Forbidden)]
    [InlineData(null, "evil.example", HttpStatusCode.BadRequest)]
    [InlineData(null, null, HttpStatusCode.OK)]
    public async Task ARequest_IsAnsweredToThisSiteOnly(string? origin, string? host, HttpStatusCode expected)
    {
        using var client = new HttpClient();
        foreach (string path in new[] { "", "_blazor/initializers/" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(service.WithKey, path));
            request.Headers.Add("Accept", "text/html");
            if (origin is not null) request.Headers.Add("Origin", origin);
            if (host is not null) request.Headers.Host = host;
            using HttpResponseMessage response = await client.SendAsync(request, Cancel);
            Assert.Equal(expected, response.StatusCode);
        }
    }

    [Fact]
    public async Task ThePage_LoadsNothingFromElsewhere_AndItsCookieIsOutOfReachOfScripts()
    {
        using var handler = new HttpClientHandler { UseCookies = false };
        using var client = new HttpClient(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, service.WithKey);
        request.Headers.Add("Accept", "text/html");
        using HttpResponseMessage response = await client.SendAsync(request, Cancel);
        string policy = string.Join(';', response.Headers.GetValues("Content-Security-Policy"));
        Assert.StartsWith("default-src 'none'; script-src 'self'; style-src 'self';", policy, StringComparison.Ordinal);
        string cookie = Assert.Single(response.Headers.GetValues("Set-Cookie"),
            value => value.StartsWith("ndif-workbench", StringComparison.Ordinal));
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=strict", cookie, StringComparison.OrdinalIgnoreCase);
        string page = await response.Content.ReadAsStringAsync(Cancel);
        Assert.DoesNotContain(cookie.Split('=')[1].Split(';')[0], page, StringComparison.Ordinal);
        Assert.DoesNotContain(service.Key, page, StringComparison.Ordinal);
        Assert.DoesNotContain("https://", page, StringComparison.Ordinal);
    }
}
