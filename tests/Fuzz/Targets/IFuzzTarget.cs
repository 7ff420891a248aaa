namespace Ndif.Fuzz.Targets;

/// <summary>Code that reads untrusted input. It must succeed or throw a typed error.</summary>
internal interface IFuzzTarget
{
    /// <summary>The initial inputs.</summary>
    IEnumerable<byte[]> Seeds();

    /// <summary>Reads an input. Any exception that it throws is a finding.</summary>
    void Run(byte[] input);

    /// <summary>The bytes that this thread may allocate for an input. More is a finding: memory must follow the size of the
    /// input.</summary>
    long GetMaxAllocatedBytes(int inputLength) => (4L << 20) + (4096L * inputLength);

    /// <summary>Runs an input and checks what it allocated.</summary>
    sealed void RunBounded(byte[] input)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run(input);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (allocated > GetMaxAllocatedBytes(input.Length))
            throw new FindingException($"{allocated} bytes were allocated for an input of {input.Length}.");
    }
}

/// <summary>The exception for a finding that is not an exception of the code under test, such as a violated invariant.</summary>
public sealed class FindingException(string what) : Exception(what);
