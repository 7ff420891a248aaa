namespace Ndif.Fuzz.Targets;

/// <summary>Code that reads untrusted input. It must succeed or throw a typed error.</summary>
internal interface IFuzzTarget
{
    /// <summary>The initial inputs.</summary>
    IEnumerable<byte[]> Seeds();

    /// <summary>Reads an input. Any exception that it throws is a finding.</summary>
    void Run(byte[] input);
}

/// <summary>The exception for a finding that is not an exception of the code under test, such as a violated invariant.</summary>
public sealed class FindingException(string what) : Exception(what);
