namespace Ndif.Protocol.Programs;

/// <summary>Facts of the program format that both sides agree on.</summary>
public static class ProgramFormat
{
    /// <summary>Raised when a program of an older reader would be misread.</summary>
    public const uint Version = 1;

    /// <summary>Tensors up to this size travel inside messages; larger ones as blobs.</summary>
    public const int MaxInlineTensorBytes = 1 << 20;
}
