using Microsoft.Extensions.DependencyInjection;
using Ndif.Server.Hosting;

namespace Ndif.Server.Tests.Support;

/// <summary>The memory that a gateway reserves for requests.</summary>
internal static class GatewayMemory
{
    private const int StepBytes = 1 << 20;

    /// <summary>Reserves the memory, except so many bytes, as other keys would: each has a half at most.</summary>
    public static DecodingLimiter Occupy(TestGateway gateway, long except)
    {
        var limiter = gateway.App.Services.GetRequiredService<DecodingLimiter>();
        foreach (string other in (string[])["other 1", "other 2"])
            while (limiter.TryReserve(other, StepBytes, out _)) { }
        limiter.Release("other 1", except);
        return limiter;
    }

    /// <summary>The megabytes that a key may still reserve.</summary>
    public static int MeasureFree(TestGateway gateway, string owner)
    {
        var limiter = gateway.App.Services.GetRequiredService<DecodingLimiter>();
        Assert.True(limiter.TryReserve("other", 1, out _)); // one that is alone may reserve more
        int free = 0;
        while (limiter.TryReserve(owner, StepBytes, out _)) free++;
        limiter.Release(owner, (long)free * StepBytes);
        limiter.Release("other", 1);
        return free;
    }
}
