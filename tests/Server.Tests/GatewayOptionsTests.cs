namespace Ndif.Server.Tests;

public sealed class GatewayOptionsTests
{
    [Fact]
    public void Defaults_AreValid_AndLocal()
    {
        var options = new GatewayOptions();
        options.Validate();
        Assert.True(options.IsLoopback);
        Assert.Equal((5080, 5081), (options.GrpcPort, options.HttpPort));
    }

    [Fact]
    public void EveryViolation_IsNamed()
    {
        OptionsException refusal = Assert.Throws<OptionsException>(() => new GatewayOptions
        {
            Host = "example.org",
            GrpcPort = 70_000,
            MessageBytes = 1,
            WallTime = TimeSpan.Zero,
            CertificateFile = "/nowhere/cert.pem",
            Tiers = new Dictionary<string, Tier> { ["free"] = new(0, 1) },
        }.Validate());

        foreach (string word in (string[])["example.org", "GrpcPort", "MessageBytes", "WallTime", "cert.pem", "standard", "free"])
            Assert.Contains(word, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1", true)]
    [InlineData("127.1.2.3", true)]
    [InlineData("::1", true)]
    [InlineData("localhost", true)]
    [InlineData("0.0.0.0", false)]
    [InlineData("*", false)]
    [InlineData("10.0.0.1", false)]
    public void Loopback_IsRecognised(string host, bool loopback) => Assert.Equal(loopback, new GatewayOptions { Host = host }.IsLoopback);
}
