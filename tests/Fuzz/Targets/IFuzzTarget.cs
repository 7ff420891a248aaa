namespace Ndif.Fuzz.Targets;

/// <summary>Something that reads what a stranger wrote. It may refuse with a typed error, and do nothing else but work.</summary>
internal interface IFuzzTarget
{
    /// <summary>Inputs to begin with, made by code.</summary>
    IEnumerable<byte[]> Seeds();

    /// <summary>Any exception out of it is a finding.</summary>
    void Run(byte[] input);
}

/// <summary>A finding that is no exception of its own: something that must hold does not.</summary>
public sealed class FindingException(string what) : Exception(what);
