namespace Ndif.Engine.Tests.Features;

/// <summary>The bundled model in this process: from memory, and from the bytes that would be sent.</summary>
internal static class Backends
{
    public static TheoryData<string> All => ["local", "loopback"];

    public static LanguageModel Model(string backend) => new("ndif/tiny-landmarks", remote: backend == "local" ? Backend.Local : Backend.Loopback);
}
