using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using Ndif.Protocol;

namespace Ndif.Recording;

/// <summary>
/// The user's line that is being recorded, from the call stack: works for properties, operators and helpers alike, and needs no
/// caller-info parameters in the API. A line is resolved from the symbols once per place in the code.
/// </summary>
internal static class UserCallSite
{
    private static readonly ConcurrentDictionary<(MethodBase Method, int Offset), UserLine?> _linesByCallSite = new();
    private static readonly ConcurrentDictionary<Assembly, bool> _isUserAssembly = new();

    /// <summary>The innermost frame that is not ours; null where there are no symbols.</summary>
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
        // the same stack again, with symbols
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
    /// False for ours and the framework's, which often stands between: it starts our async methods, so that its frame is the same
    /// wherever they are called from.
    /// </summary>
    private static bool IsUserCode(MethodBase method) =>
        method.DeclaringType?.Assembly is not { } assembly || _isUserAssembly.GetOrAdd(assembly, IsUserCode);

    private static bool IsUserCode(Assembly assembly) =>
        assembly.GetName().Name is not ("Ndif.Client" or "Ndif.Engine" or "Ndif.Protocol") and var name
        && name?.StartsWith("System.", StringComparison.Ordinal) != true;

    /// <summary>"Main", also where the compiler made a state machine or a lambda of it.</summary>
    private static string GetMemberName(MethodBase method)
    {
        string name = method.Name is "MoveNext" ? method.DeclaringType!.Name : method.Name;
        int close = name.IndexOf('>');
        return name.StartsWith('<') && close > 1 ? name[1..close].TrimStart('<') : name;
    }
}

/// <summary>A place in the user's source.</summary>
internal sealed record UserLine(string Path, int Line, string Member)
{
    /// <summary>As it travels: without folders.</summary>
    public SourceLine ToProto() => new() { File = System.IO.Path.GetFileName(Path), Line = (uint)Line, Member = Member };

    /// <summary>The text of the line, if the file is still there.</summary>
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
