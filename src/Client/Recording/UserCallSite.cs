using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using Ndif.Protocol;

namespace Ndif.Recording;

/// <summary>
/// Finds the user's line that is being recorded on the call stack. That works for properties, operators and helpers alike, and needs no
/// caller-info parameters in the API. The line of a call site is resolved from the symbols once.
/// </summary>
internal static class UserCallSite
{
    private static readonly ConcurrentDictionary<(MethodBase Method, int Offset), UserLine?> _linesByCallSite = new();
    private static readonly ConcurrentDictionary<Assembly, bool> _isUserAssembly = new();

    /// <summary>The line of the innermost frame of the user's code; null if there is none.</summary>
    public static UserLine? GetCurrentLine()
    {
        var stack = new StackTrace(1, fNeedFileInfo: false);
        for (int i = 0; i < stack.FrameCount; i++)
        {
            StackFrame frame = stack.GetFrame(i)!;
            if (frame.GetMethod() is not { } method || !IsUserCode(method)) continue;
            return _linesByCallSite.GetOrAdd((method, frame.GetILOffset()), _ => Resolve());
        }
        return null;
    }

    private static UserLine? Resolve()
    {
        // The same stack, with symbols.
        var stack = new StackTrace(fNeedFileInfo: true);
        for (int i = 0; i < stack.FrameCount; i++)
        {
            StackFrame frame = stack.GetFrame(i)!;
            if (frame.GetMethod() is not { } method || !IsUserCode(method)) continue;
            return frame.GetFileName() is { } file
                ? new UserLine(file, frame.GetFileLineNumber(), GetMemberName(method))
                : new UserLine("", 0, GetMemberName(method));
        }
        return null;
    }

    /// <summary>
    /// False for this library and for the framework. Frames of the framework are between those of the library and the user's, because the
    /// framework starts async methods; they are the same wherever such a method is called from.
    /// </summary>
    private static bool IsUserCode(MethodBase method) =>
        method.DeclaringType?.Assembly is not { } assembly || _isUserAssembly.GetOrAdd(assembly, IsUserCode);

    private static bool IsUserCode(Assembly assembly) =>
        assembly.GetName().Name is not ("Ndif.Client" or "Ndif.Dictionaries" or "Ndif.Engine" or "Ndif.Protocol") and var name
        && name?.StartsWith("System.", StringComparison.Ordinal) != true;

    /// <summary>The name of the member in the source, where the compiler has made a state machine or a lambda of it.</summary>
    private static string GetMemberName(MethodBase method)
    {
        string name = method.Name is "MoveNext" ? method.DeclaringType!.Name : method.Name;
        int close = name.IndexOf('>');
        return name.StartsWith('<') && close > 1 ? name[1..close].TrimStart('<') : name;
    }
}

/// <summary>A line of the user's source.</summary>
internal sealed record UserLine(string Path, int Line, string Member)
{
    /// <summary>The line as it is sent: the file's name without folders.</summary>
    public SourceLine ToProto() => new() { File = System.IO.Path.GetFileName(Path), Line = (uint)Line, Member = Member };

    /// <summary>The text of the line; null if the file cannot be read.</summary>
    public string? ReadText()
    {
        try
        {
            return File.Exists(Path) ? File.ReadLines(Path).Skip(Line - 1).FirstOrDefault()?.Trim() : null;
        }
        catch (IOException)
        {
            return null;
        }
    }
}
