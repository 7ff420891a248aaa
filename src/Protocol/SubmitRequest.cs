namespace Ndif.Protocol;

/// <summary>A program that is submitted to the service.</summary>
public sealed partial class SubmitRequest
{
    /// <summary>
    /// The bytes of <see cref="Program"/> as they were received, so that a gateway stores them without serializing the program again. Empty
    /// for a request that was not received. They are not part of the message: neither its copies nor its bytes contain them.
    /// </summary>
    public ReadOnlyMemory<byte> ReceivedProgram { get; set; }
}
