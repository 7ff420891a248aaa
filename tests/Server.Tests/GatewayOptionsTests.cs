using Ndif.Protocol;
using Ndif.Queue;

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

    /// <summary>The limits of a key that the queue enforces, and those that its clients are told.</summary>
    [Fact]
    public void AKey_StoresAQuarterOfTheTotal_AtMost()
    {
        var small = new GatewayOptions
        {
            TotalQueueBytes = 500_000_000, TotalBlobBytes = 100_000_000_000,
            Tiers = new Dictionary<string, Tier>
            {
                ["standard"] = new(), ["lab"] = new() { QueueBytes = 400_000_000, StoredBlobBytes = 90_000_000_000 },
                ["narrow"] = new() { QueueBytes = 7, StoredBlobBytes = 8 },
            },
        };
        foreach (string tier in (string[])["standard", "lab"])
        {
            Assert.Equal(new StorageLimits(125_000_000, 25_000_000_000, 500_000_000, 100_000_000_000), small.GetStorageLimits(tier));
            ProgramLimits told = small.GetLimits(tier);
            Assert.Equal((125_000_000ul, 25_000_000_000ul), (told.QueueBytes, told.StoredBlobBytes));
        }
        Assert.Equal(new StorageLimits(7, 8, 500_000_000, 100_000_000_000), small.GetStorageLimits("narrow"));
        StorageLimits usual = new GatewayOptions().GetStorageLimits("standard");
        Assert.Equal((1L << 30, 256L << 30), (usual.QueueBytes, usual.BlobBytes));
        var open = new GatewayOptions { AllowAnonymous = true, TotalQueueBytes = 1_000_000, TotalBlobBytes = 400L << 30 };
        Assert.Equal(new StorageLimits(1_000_000, 256L << 30, 1_000_000, 400L << 30), open.GetStorageLimits("standard"));
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
