namespace Ndif.Protocol.Files;

/// <summary>
/// Writes a file under another name and renames it at the end, so that an interruption leaves the old file, and a process that has the old
/// file mapped keeps it.
/// </summary>
internal static class WholeFile
{
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16)) write(file);
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }
}
