namespace Ndif.Engine.Tests.Features;

/// <summary>The bundled model in this process: the program in memory, and the serialized program.</summary>
internal static class Backends
{
    public static TheoryData<string> All => ["local", "loopback"];

    public static LanguageModel Model(string backend) =>
        new("ndif/tiny-landmarks", remote: backend == "local" ? Backend.Local : Backend.Loopback);
}
