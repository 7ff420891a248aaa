using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif.Engine.Running;

/// <summary>Classifies exceptions of TorchSharp and libtorch, for the translators that turn them into errors with a code.</summary>
internal static partial class LibtorchErrors
{
    /// <summary>Whether an exception already has a code, or is a cancellation, so that it is not translated.</summary>
    public static bool IsTyped(Exception e) => e is NdifException or { InnerException: NdifException } or OperationCanceledException;

    public static bool IsOutOfMemory(Exception e) => e is OutOfMemoryException || OutOfMemoryPattern().IsMatch(FirstLine(e));

    /// <summary>The message without the C++ stack that follows it, shortened: some messages contain elements of a tensor.</summary>
    public static string FirstLine(Exception e)
    {
        const int MaxLength = 2000;
        ReadOnlySpan<char> text = e.Message.AsSpan(0, Math.Min(e.Message.Length, MaxLength));
        int end = text.IndexOf('\n');
        return end >= 0 ? text[..end].ToString() : text.Length < e.Message.Length ? $"{text}…" : e.Message;
    }

    [GeneratedRegex("allocate memory|out of memory|not enough memory", RegexOptions.IgnoreCase)]
    private static partial Regex OutOfMemoryPattern();
}
