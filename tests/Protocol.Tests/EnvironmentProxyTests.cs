using System.Net;
using Ndif.Protocol;

namespace Ndif.Protocol.Tests;

public sealed class EnvironmentProxyTests
{
    private static readonly WebProxy _proxy = new("http://user:secret@proxy.example:3128");

    [Theory]
    [InlineData("http://localhost:5080", "")]
    [InlineData("http://LOCALHOST", "")]
    [InlineData("http://service.localhost", "")]
    [InlineData("http://127.0.0.1:5080", "")]
    [InlineData("http://127.1.2.3", "")]
    [InlineData("http://[::1]:5080", "")]
    [InlineData("http://[::ffff:127.0.0.1]", "")]
    [InlineData("http://0.0.0.0:80", "")]
    [InlineData("https://ndif.lab.example", "*")]
    [InlineData("https://ndif.lab.example", "other, lab.example")]
    [InlineData("https://lab.example", "lab.example")]
    [InlineData("https://lab.example.", "LAB.example")]
    [InlineData("https://ndif.lab.example", ".lab.example")]
    [InlineData("https://ndif.lab.example", "*.lab.example")]
    [InlineData("https://ndif.lab.example:5080", "lab.example:5080")]
    [InlineData("http://10.1.2.3", "192.168.0.0/16,10.0.0.0/8")]
    [InlineData("http://10.1.2.3", "10.9.9.9/8")]
    [InlineData("http://10.1.2.3:80", "10.1.2.3:80")]
    [InlineData("http://10.1.2.3", "10.1.2.3 other")]
    [InlineData("http://[fd00::7]", "fd00::/8")]
    [InlineData("http://[fd00::7]:81", "[fd00::7]:81")]
    [InlineData("http://[fd00::7]", "fd00::7")]
    public void ReachedDirectly(string address, string noProxy)
    {
        EnvironmentProxy proxy = new(_proxy, noProxy);
        Assert.Null(proxy.GetProxy(new Uri(address)));
        Assert.True(proxy.IsBypassed(new Uri(address)));
        Assert.Null(proxy.Describe(new Uri(address)));
    }

    [Theory]
    [InlineData("https://ndif.lab.example", null)]
    [InlineData("https://ndif.lab.example", "dif.lab.example, lab, example.org, ,")]
    [InlineData("https://ndif.lab.example:5080", "lab.example:80")]
    [InlineData("http://localhost.example", "")]
    [InlineData("http://10.1.2.3", "11.0.0.0/8, 10.1.2.4, 10.0.0.0/99, /8, 10.0.0.0/")]
    [InlineData("http://[fd00::7]", "10.0.0.0/8, fc00::/8")]
    [InlineData("http://host10", "10.0.0.0/8")]
    public void ReachedThroughTheProxy(string address, string? noProxy)
    {
        EnvironmentProxy proxy = new(_proxy, noProxy);
        Assert.Equal(_proxy.Address, proxy.GetProxy(new Uri(address)));
        Assert.False(proxy.IsBypassed(new Uri(address)));
        Assert.StartsWith("http://proxy.example:3128", proxy.Describe(new Uri(address)), StringComparison.Ordinal);
        Assert.DoesNotContain("secret", proxy.Describe(new Uri(address)), StringComparison.Ordinal);
    }
}
